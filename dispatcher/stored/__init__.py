"""How the domain's things lie in a store, whichever it is: what two stores would else say twice.

Pure: rows to things and back, what is sealed and how, what is decided of what was read. No SQL, no
vendor, no transaction: those are each store's own.
"""
