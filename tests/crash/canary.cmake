# Rules broken on purpose. A canary is a tester that exists (the simulator, the conformance
# suite, a unit checker, the power cuts, the crash table), linked against the broken rule: the
# file that has it is compiled again with -DSTOA_BREAK_<RULE> and stands before the libraries. CTest
# passes when the tester fails, in the words it should, within its budget.

# The tester's own sources, compiled once for all its canaries.
function(stoa_canary_objects tester)
  if(NOT TARGET canary_objects_${tester})
    get_target_property(sources ${tester} SOURCES)
    get_target_property(folder ${tester} SOURCE_DIR)
    get_target_property(libs ${tester} LINK_LIBRARIES)
    get_target_property(defines ${tester} COMPILE_DEFINITIONS)
    get_target_property(includes ${tester} INCLUDE_DIRECTORIES)
    set(absolute "")
    foreach(source IN LISTS sources)
      get_filename_component(source ${source} ABSOLUTE BASE_DIR ${folder})
      list(APPEND absolute ${source})
    endforeach()
    add_library(canary_objects_${tester} OBJECT ${absolute})
    target_link_libraries(canary_objects_${tester} PRIVATE ${libs})
    if(defines)
      target_compile_definitions(canary_objects_${tester} PRIVATE ${defines})
    endif()
    if(includes)
      target_include_directories(canary_objects_${tester} PRIVATE ${includes})
    endif()
  endif()
endfunction()

# stoa_canary(RULE TESTER target SECONDS n WORDS regex FROM file.. [ARGS a..])
function(stoa_canary rule)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TESTER;SECONDS;WORDS" "FROM;ARGS")
  if(NOT TARGET ${arg_TESTER})
    message(WARNING "canary ${rule}: there is no ${arg_TESTER}")
    return()
  endif()
  string(TOLOWER ${rule} name)
  set(program canary_${name}_${arg_TESTER})
  stoa_canary_objects(${arg_TESTER})
  list(TRANSFORM arg_FROM PREPEND ${CMAKE_SOURCE_DIR}/)
  add_executable(${program} $<TARGET_OBJECTS:canary_objects_${arg_TESTER}> ${arg_FROM})
  target_compile_definitions(${program} PRIVATE STOA_BREAK_${rule})
  get_target_property(libs ${arg_TESTER} LINK_LIBRARIES)
  target_link_libraries(${program} PRIVATE ${libs} ledger_codec)
  set(early "")
  if(arg_TESTER STREQUAL "store_conformance")
    set(early -e)
  endif()
  add_test(NAME canary.${name}.${arg_TESTER}
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/canary.sh ${early} ${arg_SECONDS} ${arg_WORDS}
            $<TARGET_FILE:${program}> ${arg_ARGS})
  math(EXPR limit "${arg_SECONDS} + 30")
  set_tests_properties(canary.${name}.${arg_TESTER} PROPERTIES LABELS "crash;canary"
    TIMEOUT ${limit})
endfunction()

# The same with the crash table: a broken stoad of its own.
function(stoa_canary_stoad rule)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "SECONDS;WORDS" "FROM;ARGS")
  string(TOLOWER ${rule} name)
  set(sources ${STOAD_POINTS} ${arg_FROM})
  list(REMOVE_DUPLICATES sources)
  stoa_again(stoad_${name} DEFINES ${STOAD_POINTS_DEFINES} STOA_BREAK_${rule} LIBS ${STOAD_LIBS}
    FROM relay/main.c ledger/failpoint.c ${sources})
  add_test(NAME canary.${name}.crash_table
    COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/canary.sh ${arg_SECONDS} ${arg_WORDS}
            $<TARGET_FILE:crash_table> ${arg_ARGS})
  math(EXPR limit "${arg_SECONDS} + 30")
  set_tests_properties(canary.${name}.crash_table PROPERTIES LABELS "crash;canary"
    TIMEOUT ${limit} ENVIRONMENT "STOAD=$<TARGET_FILE:stoad_${name}>")
endfunction()

set(SIM_ARGS --seeds 200 --from 1)
set(SUITE TESTER store_conformance SECONDS 60 ARGS sqlite)
stoa_canary(ACK_BEFORE_COMMIT TESTER sim SECONDS 60 ARGS ${SIM_ARGS}
  WORDS "an acknowledged entry is not at|settles something else" FROM ledger/sequencer_outcome.c)
stoa_canary(DUPLICATE_ACCEPTED TESTER sim SECONDS 60 ARGS ${SIM_ARGS}
  WORDS "seq is not the writer's next" FROM ledger/sequencer_submit.c ledger/apply.c)
stoa_canary(OVERDRAFT_OFF_BY_ONE TESTER sim SECONDS 60 ARGS ${SIM_ARGS}
  WORDS "overdraft" FROM ledger/apply_value.c)
stoa_canary(LAMPORT_UNCHECKED TESTER sim SECONDS 60 ARGS ${SIM_ARGS}
  WORDS "lamport is not one above" FROM ledger/apply.c)
stoa_canary(REVOKED_ACCEPTED TESTER sim SECONDS 60 ARGS ${SIM_ARGS}
  WORDS "WRONG.*revoked" FROM ledger/apply_member.c)
stoa_canary(RECEIPT_UNPROVEN TESTER sim SECONDS 120 ARGS ${SIM_ARGS}
  WORDS "believes that .* is accepted: another entry" FROM client/deliver.c)
stoa_canary(SMALLER_CHECKPOINT TESTER sim SECONDS 120 ARGS ${SIM_ARGS}
  WORDS "connects to a hub that shows less|checkpoint that shows less" FROM client/hub_slot.c)
stoa_canary(NO_CAS ${SUITE} WORDS "FAILED.*only_the_slot_that_was_moved_is_lost"
  FROM ledger/store_sqlite_append.c)
stoa_canary(EPOCH_UNCHECKED ${SUITE} WORDS "FAILED.*a_claim_fences_the_older_epoch"
  FROM ledger/store_sqlite_append.c)
stoa_canary(CHANNEL_NOT_PERSISTED ${SUITE} WORDS "FAILED.*outbox_items_come_in_log_order"
  FROM ledger/store_sqlite_side.c)
stoa_canary(SERVE_PAST_CHECKPOINT ${SUITE} WORDS "FAILED.*a_new_ledger_is_empty"
  FROM ledger/store_tree.c)
stoa_canary(OVERDRAFT_OFF_BY_ONE TESTER test_account_value SECONDS 30
  WORDS "FAILED.*a_transfer_needs_cover" FROM ledger/apply_value.c)
stoa_canary(LAMPORT_UNCHECKED TESTER test_account_chain SECONDS 30
  WORDS "FAILED.*lamport_is_exact" FROM ledger/apply.c)
stoa_canary(REVOKED_ACCEPTED TESTER test_account_member SECONDS 30
  WORDS "FAILED.*a_member_revokes_his_own_devices" FROM ledger/apply_member.c)
stoa_canary(FSYNC_SKIPPED TESTER test_power SECONDS 60 ARGS --seeds 200 --from 1
  WORDS "WRONG: an acknowledged entry is gone|it is a backup" FROM ledger/store_sqlite.c)
if(STOA_FAILPOINTS)
  # Found by the hub itself on its way up: what it signed is more than what it has.
  stoa_canary_stoad(ACK_BEFORE_COMMIT SECONDS 60 ARGS --turns 1 --only append.commit
    WORDS "it is a backup|acknowledged entry|were signed and shown"
    FROM ledger/sequencer_outcome.c)
  stoa_canary_stoad(CHANNEL_NOT_PERSISTED SECONDS 60
    ARGS --turns 3 --only append.commit.done WORDS "contradict each other|do not settle"
    FROM ledger/store_sqlite_side.c)
endif()
