# Files that show by themselves that a key signed what cannot all be true. Pure.
add_library(ledger_evidence STATIC evidence.c evidence_make.c evidence_text.c head_file.c)
target_link_libraries(ledger_evidence PUBLIC ledger_codec ledger_wire crypto PRIVATE stoa_flags)

# Receipts: a proof with its record in one text. Pure.
add_library(ledger_receipt STATIC receipt.c)
target_link_libraries(ledger_receipt PUBLIC ledger_codec crypto PRIVATE stoa_flags)
