/* make_vectors worked|values|entries|frames: what docs/PROTOCOL.md and docs/vectors hold.
 */
#include <string.h>

#include "vectors.h"

int main(int argc, char **argv)
{
    struct world *w = world_open();
    const char *what = argc == 2 ? argv[1] : "";
    bool known = true;
    if (strcmp(what, "worked") == 0)
        print_worked(stdout, w);
    else if (strcmp(what, "values") == 0)
        print_values(stdout, w);
    else if (strcmp(what, "entries") == 0)
        print_entries(stdout, w);
    else if (strcmp(what, "frames") == 0)
        print_frames(stdout, w);
    else
        known = false;
    world_close(w);
    if (!known)
        fprintf(stderr, "usage: make_vectors worked|values|entries|frames\n");
    return known ? 0 : 64;
}
