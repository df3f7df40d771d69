# Planted faults. image_sqlite.c is an edge of its own: it writes hub files.
find_package(SQLite3 REQUIRED)
add_library(audit_selftest STATIC 
  forge.c image.c image_export.c image_sqlite.c selftest.c selftest_export.c)
target_link_libraries(audit_selftest
  PUBLIC audit_engine
  PRIVATE stoa_flags audit_export ledger_store_sqlite SQLite::SQLite3)
