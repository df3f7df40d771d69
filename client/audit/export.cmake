# The moving parts of stoa-audit: copying logs, exports, comparing, watching.
if(NOT TARGET audit_source)
  return()
endif()
add_library(audit_fetch STATIC
  fetch.c
  fetch_dir.c
  fetch_evidence.c
  fetch_lock.c
  fetch_pool.c
  fetch_tree.c
  fetch_unit.c)
target_link_libraries(audit_fetch
  PUBLIC audit_source ledger_codec crypto
  PRIVATE stoa_flags Threads::Threads)
