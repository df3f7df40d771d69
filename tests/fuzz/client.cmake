# Fuzzers of the client's room. Included by CMakeLists.txt where that room is built.
if(TARGET client_store)
  stoa_fuzzer(client_store LIBS client_store codec_samples BYTES 512)
endif()

if(TARGET stoa)
  stoa_fuzzer(token LIBS stoa client_store ledger_account BYTES 600)
endif()

if(TARGET stoa_cli)
  # The command line without its main().
  get_target_property(cli_sources stoa_cli SOURCES)
  list(REMOVE_ITEM cli_sources cli.c)
  list(TRANSFORM cli_sources PREPEND ${CMAKE_SOURCE_DIR}/client/)
  add_library(fuzz_cli STATIC EXCLUDE_FROM_ALL ${cli_sources})
  target_link_libraries(fuzz_cli PUBLIC stoa_flags stoa client_verify ledger_account
    ledger_codec ledger_link ledger_wire crypto crypto_keyfile_io PkgConfig::JANSSON)
  stoa_fuzzer(bank LIBS fuzz_cli)
  stoa_fuzzer(jsonl LIBS fuzz_cli)
  target_link_options(fuzz_jsonl PRIVATE
    -Wl,--wrap=cli_open,--wrap=stoa_account_find,--wrap=stoa_import)
endif()

if(TARGET audit_source)
  stoa_fuzzer(export LIBS audit_source audit_export_line CUTS 64)
  stoa_fuzzer(bundle LIBS audit_source BYTES 8192 CUTS 64)
endif()

if(TARGET audit_watch)
  stoa_fuzzer(watch LIBS audit_watch BYTES 2048)
endif()

if(TARGET client_verify)
  stoa_fuzzer(follow LIBS client_verify account_kit BYTES 1024)
endif()
