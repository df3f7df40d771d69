# Bytes in, findings out.
add_library(audit_engine STATIC
  audit.c
  evidence_keep.c
  findings.c
  items.c
  judge.c
  promise.c
  state.c)
target_link_libraries(audit_engine
  PUBLIC audit_source client_verify ledger_account ledger_codec crypto
  PRIVATE ledger_evidence ledger_receipt stoa_flags Threads::Threads)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET GLOBAL jansson)
add_library(audit_report STATIC report_json.c report_text.c)
target_link_libraries(audit_report PUBLIC audit_engine PRIVATE stoa_flags PkgConfig::JANSSON)
