# Run by cpack when the files of each package stand in a folder: what does not go below the
# prefix, and what Debian wants of every package. (configure_file, since file(INSTALL) would put
# everything below the DESTDIR of one of them.)
foreach(package stoad stoa dev)
  set(root ${CPACK_TEMPORARY_DIRECTORY}/${package})
  set(name ${package})
  if(package STREQUAL dev)
    set(name libstoa-dev)
  endif()
  if(EXISTS ${root})
    configure_file(${STOA_LICENSE} ${root}/usr/share/doc/${name}/copyright COPYONLY)
  endif()
endforeach()
if(EXISTS ${CPACK_TEMPORARY_DIRECTORY}/stoad)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/stoa.toml
    ${CPACK_TEMPORARY_DIRECTORY}/stoad/etc/stoa/stoa.toml COPYONLY)
endif()
