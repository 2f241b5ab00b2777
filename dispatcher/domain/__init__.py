"""What things are: the ground floor, made of the standard library alone.

Nothing here does I/O, reads a clock or rolls dice: times, identifiers and jitter come in as
arguments. So each rule of the service can be read, and tested, as a function of its inputs.
"""
