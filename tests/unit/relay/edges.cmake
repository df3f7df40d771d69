foreach(name config keys metrics)
  stoa_unit_test(test_${name} ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.c
                 LIBS relay_${name} Threads::Threads)
endforeach()
