# Settings: one table, TOML behind a C++ shim that nothing else sees.
add_library(relay_config STATIC
  config.c
  config_address.c
  config_number.c
  config_print.c
  config_problem.c
  config_source.c
  config_toml.cpp
  config_value.c)
target_compile_definitions(relay_config PRIVATE TOML_EXCEPTIONS=0 TOML_HEADER_ONLY=1)
target_compile_options(relay_config PRIVATE
  $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions;-fno-rtti>)
target_link_libraries(relay_config PUBLIC stoa_flags crypto ledger_words PRIVATE ledger_codec ledger_trace)

# What /metrics shows.
add_library(relay_metrics STATIC metrics.c metrics_process.c metrics_table.c metrics_write.c)
target_link_libraries(relay_metrics PUBLIC stoa_flags ledger_words ledger_trace)

# The hub's key files.
add_library(relay_keys STATIC keys.c)
target_link_libraries(relay_keys PUBLIC stoa_flags crypto crypto_keyfile_io ledger_words)

# The operator's command line: rows, their way through refusals and the journal are a library
# that tests link alone; the rest is edges.
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET GLOBAL jansson)
add_library(relay_issue STATIC stoactl_issue.c stoactl_journal.c stoactl_rows.c)
target_link_libraries(relay_issue PUBLIC stoa_flags ledger_wire)
# A hub's logs as files: reads its ledger, whoever writes there meanwhile.
add_library(relay_log STATIC
  stoactl_log_dir.c
  stoactl_log_scan.c
  stoactl_log_slot.c
  stoactl_log_source.c
  stoactl_log_tree.c)
target_link_libraries(relay_log
  PUBLIC relay_core relay_config ledger_folder ledger_store
  PRIVATE ledger_store_sqlite ledger_store_postgres PkgConfig::JANSSON)
if(TARGET ledger_link)
  add_executable(stoactl
    policy_file.c
    stoactl_accrue.c
    stoactl_admin.c
    stoactl_health.c
    stoactl_help.c
    stoactl_http.c
    stoactl_key.c
    stoactl_log.c
    stoactl_log_policy.c
    stoactl_log_setup.c
    stoactl_main.c
    stoactl_out.c
    stoactl_projection.c
    stoactl_run.c
    stoactl_schema.c
    stoactl_slot.c
    stoactl_status.c
    stoactl_witness.c)
  target_link_libraries(stoactl PRIVATE relay_issue relay_config relay_keys relay_log
    ledger_link ledger_web relay_admin_socket ledger_store_postgres PkgConfig::JANSSON)
  install(TARGETS stoactl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT stoad)
endif()
