# stoa, the holder's command line. Included by client/CMakeLists.txt.
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET GLOBAL jansson)

add_executable(stoa_cli
  cli.c
  cli_file.c
  cli_group.c
  cli_head.c
  cli_help.c
  cli_keys.c
  cli_out.c
  cli_parse.c
  cli_pay.c
  cli_progress.c
  cli_read.c
  cli_receipt.c
  cli_records.c
  cli_table.c
  cli_wallet_open.c
  cli_words.c
  demo.c
  demo_crash.c
  demo_proc.c
  import.c
  import_book.c
  import_csv.c
  import_hub.c
  import_keys.c
  import_run.c)
set_target_properties(stoa_cli PROPERTIES OUTPUT_NAME stoa)
target_link_libraries(stoa_cli PRIVATE stoa_flags stoa ledger_receipt ledger_evidence client_verify ledger_account ledger_codec
  ledger_link ledger_wire crypto crypto_keyfile_io PkgConfig::JANSSON)
install(TARGETS stoa_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT stoa)
