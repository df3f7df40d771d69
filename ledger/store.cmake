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
  store_sqlite_raw.c
  store_sqlite_read.c
  store_sqlite_runs.c
  store_sqlite_side.c)
target_link_libraries(ledger_store_sqlite PUBLIC ledger_store PRIVATE ledger_codec SQLite::SQLite3)
target_link_options(ledger_store_sqlite INTERFACE LINKER:-u,store_edge_sqlite)

# The edge for hubs with several relays: the only files that see libpq-fe.h. The schema
# (deploy/schema) is built in.
find_package(PostgreSQL REQUIRED)
file(GLOB STOA_SCHEMA_FILES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/deploy/schema/[0-9]*.sql)
list(SORT STOA_SCHEMA_FILES)
foreach(file ${STOA_SCHEMA_FILES})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  get_filename_component(base ${file} NAME_WE)
  string(REGEX MATCH "^0*([0-9]+)_(.*)$" ignored ${base})
  set(number ${CMAKE_MATCH_1})
  set(name ${CMAKE_MATCH_2})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "((0x..,){16})" "\\1\n" bytes "${bytes}")
  string(APPEND STOA_SCHEMA_TEXTS "static const char sql_${number}[] = {\n${bytes}0x00};\n")
  string(APPEND STOA_SCHEMA_ROWS
    "    {${number}, \"${name}\", sql_${number}, sizeof sql_${number} - 1},\n")
endforeach()
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/store_postgres_migrations.c.in
  ${CMAKE_CURRENT_BINARY_DIR}/store_postgres_migrations.c @ONLY)
add_library(ledger_store_postgres STATIC
  ${CMAKE_CURRENT_BINARY_DIR}/store_postgres_migrations.c
  store_postgres.c
  store_postgres_append.c
  store_postgres_lease.c
  store_postgres_link.c
  store_postgres_move.c
  store_postgres_param.c
  store_postgres_place.c
  store_postgres_place_lease.c
  store_postgres_place_probe.c
  store_postgres_place_read.c
  store_postgres_projection.c
  store_postgres_probe.c
  store_postgres_raw.c
  store_postgres_read.c
  store_postgres_rows.c
  store_postgres_schema.c
  store_postgres_session.c
  store_postgres_side.c
  store_postgres_target.c
  store_postgres_view.c)
target_link_libraries(ledger_store_postgres PUBLIC ledger_store
  PRIVATE ledger_codec ledger_projection ledger_trace PostgreSQL::PostgreSQL)
target_link_options(ledger_store_postgres INTERFACE LINKER:-u,store_edge_postgresql
  LINKER:-u,store_probe_postgres LINKER:-u,store_replica_postgres)
