# The moving parts of stoa-audit: copying logs, exports, comparing, watching.
if(NOT TARGET audit_source)
  return()
endif()
add_library(audit_fetch STATIC
  fetch.c
  fetch_path.c
  fetch_evidence.c
  fetch_lock.c
  fetch_pool.c
  fetch_tree.c
  fetch_unit.c)
target_link_libraries(audit_fetch
  PUBLIC audit_source ledger_codec ledger_folder crypto
  PRIVATE stoa_flags ledger_evidence Threads::Threads)

# What writers and readers of an export share.
add_library(audit_export_line STATIC export_line.c export_record.c)
target_link_libraries(audit_export_line
  PUBLIC ledger_codec crypto
  PRIVATE stoa_flags PkgConfig::JANSSON)
# The edge to SQLite files of exports.
add_library(audit_export_sqlite STATIC export_sqlite.c source_export_sqlite.c)
target_link_libraries(audit_export_sqlite
  PUBLIC audit_export_line
  PRIVATE stoa_flags SQLite::SQLite3)
target_link_libraries(audit_source PRIVATE audit_export_line audit_export_sqlite)

add_library(audit_export STATIC export.c export_hold.c export_text.c)
target_link_libraries(audit_export
  PUBLIC audit_engine audit_export_line audit_export_sqlite audit_source
  PRIVATE stoa_flags)

add_library(audit_diff STATIC diff.c)
target_link_libraries(audit_diff
  PUBLIC audit_fetch audit_source crypto
  PRIVATE stoa_flags)

add_library(audit_watch STATIC watch.c watch_hooks.c watch_state.c)
target_link_libraries(audit_watch
  PUBLIC audit_engine audit_source crypto
  PRIVATE stoa_flags audit_diff audit_export audit_fetch PkgConfig::JANSSON)
