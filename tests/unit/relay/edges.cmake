foreach(name config keys metrics)
  stoa_unit_test(test_${name} ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.c
                 LIBS relay_${name} Threads::Threads)
endforeach()
foreach(name stoactl_rows stoactl_issue)
  stoa_unit_test(test_${name} ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.c LIBS relay_issue)
endforeach()
