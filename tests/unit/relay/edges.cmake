foreach(name config keys metrics)
  stoa_unit_test(test_${name} ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.c
                 LIBS relay_${name} Threads::Threads)
endforeach()
foreach(name stoactl_rows stoactl_issue)
  stoa_unit_test(test_${name} ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.c LIBS relay_issue)
endforeach()
stoa_unit_test(test_admin_socket ${CMAKE_CURRENT_SOURCE_DIR}/test_admin_socket.c
  LIBS relay_admin_socket)
stoa_unit_test(test_redis_address ${CMAKE_CURRENT_SOURCE_DIR}/test_redis_address.c
  LIBS relay_bus_redis)
foreach(name why talkers vitals)
  stoa_unit_test(test_${name} ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.c LIBS relay_core)
endforeach()
