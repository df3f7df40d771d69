# Outgoing WebSocket edge for client and operator tools. Included by ledger/CMakeLists.txt.
pkg_check_modules(LWS REQUIRED IMPORTED_TARGET GLOBAL libwebsockets)

add_library(ledger_link STATIC link.c)
target_link_libraries(ledger_link
  PUBLIC ledger_words
  PRIVATE stoa_flags PkgConfig::LWS)
