// Checks one log of a hub with nothing but golang.org/x/mod: sumdb/note for the checkpoint,
// sumdb/tlog for tiles and proofs. No code of ours, and its own reading of C2SP tlog-tiles.
//
//	logcheck VKEY LOG [OLDER-CHECKPOINT..]
//
// LOG is http://host/log/<slot> or such a directory. Every leaf is hashed from its entry bundle,
// proven to be in the tree, and the tree is built again from the leaves alone. Each older
// checkpoint has to be a beginning of the tree. The first thing that is wrong ends it: exit 1.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height  = 8
	width   = 1 << height
	fileMax = 1 << 25
)

type source string

func (s source) read(path string) ([]byte, error) {
	if !strings.HasPrefix(string(s), "http://") {
		return os.ReadFile(filepath.Join(string(s), path))
	}
	client := http.Client{Timeout: 20 * time.Second}
	answer, err := client.Get(string(s) + "/" + path)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, fileMax))
}

// sumdb names a tile tile/8/<L>/<N>, C2SP tile/<L>/<N>: the rest of the path is the same.
func c2spPath(t tlog.Tile, kind string) string {
	return "tile/" + kind + strings.TrimPrefix(t.Path(), fmt.Sprintf("tile/%d/%d", height, t.L))
}

// Tiles that were proven are kept and not read again.
type tileReader struct {
	source
	proven map[tlog.Tile][]byte
}

func (r *tileReader) Height() int { return height }

func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		data[i] = r.proven[t]
		if data[i] != nil {
			continue
		}
		bytes, err := r.source.read(c2spPath(t, strconv.Itoa(t.L)))
		if err != nil {
			return nil, err
		}
		data[i] = bytes
	}
	return data, nil
}

func (r *tileReader) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, t := range tiles {
		r.proven[t] = data[i]
	}
}

// A checkpoint is opened under the key and names its log and a tree.
func open(data []byte, key note.Verifier) (tree tlog.Tree, err error) {
	n, err := note.Open(data, note.VerifierList(key))
	if err != nil {
		return tree, err
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return tree, errors.New("not three lines")
	}
	if lines[0] != key.Name() {
		return tree, fmt.Errorf("of %q", lines[0])
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil || strconv.FormatInt(tree.N, 10) != lines[1] {
		return tree, errors.New("no size")
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

// The records of one entry bundle, tile by tile as wide as the tree implies.
func bundle(s source, size, n int64) ([][]byte, error) {
	t := tlog.Tile{H: height, L: 0, N: n, W: width}
	if size-n*width < width {
		t.W = int(size - n*width)
	}
	data, err := s.read(c2spPath(t, "entries"))
	if err != nil {
		return nil, err
	}
	var records [][]byte
	for len(data) > 0 {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, errors.New("cut short")
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		records = append(records, data[2:end])
		data = data[end:]
	}
	if len(records) != t.W {
		return nil, fmt.Errorf("%d records, not %d", len(records), t.W)
	}
	return records, nil
}

// A tree that is built from leaves alone, as sumdb stores it.
type rebuilt []tlog.Hash

func (r rebuilt) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x >= int64(len(r)) {
			return nil, errors.New("not stored")
		}
		out[i] = r[x]
	}
	return out, nil
}

// Every leaf, hashed from the entry bundles.
func readLeaves(s source, size int64) (leaves []tlog.Hash, err error) {
	for n := int64(0); n*width < size; n++ {
		records, err := bundle(s, size, n)
		if err != nil {
			return nil, fmt.Errorf("bundle %d: %w", n, err)
		}
		for _, record := range records {
			leaves = append(leaves, tlog.RecordHash(record))
		}
	}
	return leaves, nil
}

// Compared one by one with what the tiles have, since x/mod 0.7 leaves a tile beside the right
// edge unproven when one tile holds several of the edge's hashes.
func compareTiles(leaves []tlog.Hash, hashes tlog.HashReader) error {
	indexes := make([]int64, len(leaves))
	for i := range leaves {
		indexes[i] = tlog.StoredHashIndex(0, int64(i))
	}
	tiles, err := hashes.ReadHashes(indexes)
	if err != nil {
		return fmt.Errorf("tile: %w", err)
	}
	for i, leaf := range leaves {
		if leaf != tiles[i] {
			return fmt.Errorf("record %d: tile and bundle differ", i)
		}
	}
	return nil
}

func checkLeaves(leaves []tlog.Hash, tree tlog.Tree, hashes tlog.HashReader) error {
	var all rebuilt
	for i, leaf := range leaves {
		index := int64(i)
		stored, err := tlog.StoredHashesForRecordHash(index, leaf, all)
		if err != nil {
			return fmt.Errorf("record %d: %w", index, err)
		}
		all = append(all, stored...)
		proof, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			return fmt.Errorf("tile: record %d: %w", index, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, leaf); err != nil {
			return fmt.Errorf("record %d: %w", index, err)
		}
	}
	root, err := tlog.TreeHash(tree.N, all)
	if err != nil || root != tree.Hash {
		return fmt.Errorf("the leaves make another tree: %v", err)
	}
	return nil
}

func checkOlder(name string, key note.Verifier, tree tlog.Tree, hashes tlog.HashReader) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	old, err := open(data, key)
	if err != nil {
		return fmt.Errorf("note %s: %w", name, err)
	}
	if old.N == tree.N { // sumdb has no proof for two trees of one size
		if old.Hash != tree.Hash {
			return fmt.Errorf("consistency: two trees of size %d", tree.N)
		}
		return nil
	}
	if old.N > tree.N {
		return fmt.Errorf("consistency: size %d after size %d", tree.N, old.N)
	}
	proof, err := tlog.ProveTree(tree.N, old.N, hashes)
	if err != nil {
		return fmt.Errorf("tile: %w", err)
	}
	if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
		return fmt.Errorf("consistency: %d to %d: %w", old.N, tree.N, err)
	}
	return nil
}

func run(vkey string, s source, older []string) error {
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	data, err := s.read("checkpoint")
	if err != nil {
		return err
	}
	tree, err := open(data, key)
	if err != nil {
		return fmt.Errorf("note: %w", err)
	}
	tiles := &tileReader{s, map[tlog.Tile][]byte{}}
	hashes := tlog.TileHashReader(tree, tiles)
	leaves, err := readLeaves(s, tree.N)
	if err != nil {
		return err
	}
	if err := compareTiles(leaves, hashes); err != nil {
		return err
	}
	if err := checkLeaves(leaves, tree, hashes); err != nil {
		return err
	}
	for _, name := range older {
		if err := checkOlder(name, key, tree, hashes); err != nil {
			return err
		}
	}
	fmt.Printf("%s: %d records proven, %d tiles, %d older checkpoints\n", key.Name(), tree.N, len(tiles.proven), len(older))
	return nil
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: logcheck VKEY LOG [OLDER-CHECKPOINT..]")
		os.Exit(64)
	}
	if err := run(os.Args[1], source(os.Args[2]), os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "logcheck:", err)
		os.Exit(1)
	}
}
