# The contract with a disk: dispatch by scheme, and the store that lives in memory only.
add_library(ledger_store STATIC
  store.c
  store_memory.c
  store_memory_vault.c
  store_table.c
  store_tree.c)
target_link_libraries(ledger_store PUBLIC stoa_flags ledger_words crypto Threads::Threads
  PRIVATE ledger_codec)

# The embedded edge: the only files that see sqlite3.h. Linking this target is what makes
# "sqlite:" available, hence the -u: store.c names the edge weakly.
find_package(SQLite3 3.37 REQUIRED)
add_library(ledger_store_sqlite STATIC
  store_sqlite.c
  store_sqlite_append.c
  store_sqlite_create.c
  store_sqlite_index.c
  store_sqlite_maintain.c
  store_sqlite_read.c
  store_sqlite_runs.c
  store_sqlite_side.c)
target_link_libraries(ledger_store_sqlite PUBLIC ledger_store PRIVATE ledger_codec SQLite::SQLite3)
target_link_options(ledger_store_sqlite INTERFACE LINKER:-u,store_edge_sqlite)
