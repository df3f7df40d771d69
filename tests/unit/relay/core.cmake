foreach(name session topics queue gather pinned causes highwater addresses http_range)
  stoa_unit_test(test_${name} ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.c
                 LIBS relay_edge Threads::Threads)
endforeach()
