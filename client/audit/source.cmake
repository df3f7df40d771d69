# Where an audit reads from. Each edge its own target: HTTP, SQLite, files.
add_library(audit_source STATIC
  source.c
  source_dir.c
  source_files.c
  source_sqlite.c
  source_url.c)
if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/source_export.c)
  target_sources(audit_source PRIVATE source_export.c)
  target_compile_definitions(audit_source PRIVATE AUDIT_HAS_EXPORT)
  target_link_libraries(audit_source PRIVATE PkgConfig::JANSSON)
endif()
target_link_libraries(audit_source
  PUBLIC ledger_codec crypto
  PRIVATE stoa_flags ledger_web ledger_store_sqlite Threads::Threads)
