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
