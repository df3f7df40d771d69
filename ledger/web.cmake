# Edge: outgoing HTTP. The only file that sees curl.h.
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET GLOBAL libcurl)
add_library(ledger_web STATIC web.c)
target_link_libraries(ledger_web
  PUBLIC ledger_words
  PRIVATE stoa_flags PkgConfig::CURL Threads::Threads)
