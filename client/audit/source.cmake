# Where an audit reads from. Each edge its own target: HTTP, SQLite, Postgres, files.
add_library(audit_source STATIC
  source.c
  source_dir.c
  source_export.c
  source_files.c
  source_postgres.c
  source_sqlite.c
  source_url.c)
target_link_libraries(audit_source
  PUBLIC ledger_codec crypto
  PRIVATE stoa_flags ledger_web ledger_store_sqlite ledger_store_postgres
  Threads::Threads)
