stoa_unit_test(test_region_clock ${CMAKE_CURRENT_SOURCE_DIR}/test_region_clock.c
  LIBS sim_hub relay_edge federation_lease)
target_link_options(test_region_clock PRIVATE LINKER:--wrap=clock_gettime)
stoa_unit_test(test_reload ${CMAKE_CURRENT_SOURCE_DIR}/test_reload.c LIBS sim_hub relay_edge)
target_link_options(test_reload PRIVATE LINKER:--wrap=pinned_load LINKER:--wrap=event_reloaded)
stoa_unit_test(test_region_slots ${CMAKE_CURRENT_SOURCE_DIR}/test_region_slots.c
  LIBS sim_hub relay_edge federation_lease)
target_link_options(test_region_slots PRIVATE LINKER:--wrap=pinned_load
  LINKER:--wrap=event_reloaded)
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
foreach(name memory quota turns why talkers vitals)
  stoa_unit_test(test_${name} ${CMAKE_CURRENT_SOURCE_DIR}/test_${name}.c LIBS relay_core)
endforeach()
# The test stands where relay/region.c, the loop and the commit thread do.
stoa_unit_test(test_peer
  ${CMAKE_CURRENT_SOURCE_DIR}/test_peer.c
  ${CMAKE_CURRENT_SOURCE_DIR}/fakeowner.c
  ${CMAKE_CURRENT_SOURCE_DIR}/peerkit.c
  ${CMAKE_SOURCE_DIR}/tests/lib/people.c
  ${CMAKE_SOURCE_DIR}/relay/peer.c
  ${CMAKE_SOURCE_DIR}/relay/peer_answer.c
  ${CMAKE_SOURCE_DIR}/relay/peer_talk.c
  LIBS relay_core relay_ws relay_metrics relay_config relay_keys relay_peer_link
    federation_forward ledger_trace ledger_recover Threads::Threads)
# Alone, without the region that owns slots: the test says who does.
set(stoa_follow_sources follow.c follow_load.c follow_take.c follow_view.c event.c bus_message.c highwater.c
  evidence_file.c)
list(TRANSFORM stoa_follow_sources PREPEND ${CMAKE_SOURCE_DIR}/relay/)
stoa_unit_test(test_follow ${CMAKE_CURRENT_SOURCE_DIR}/test_follow.c
  ${CMAKE_SOURCE_DIR}/tests/unit/sequencer/people.c ${stoa_follow_sources}
  LIBS sim_hub relay_bus_redis relay_core relay_config relay_metrics relay_keys
    federation_bus ledger_recover ledger_store ledger_trace ledger_evidence Threads::Threads)
