"""What the command line does besides serving.

``check``  reads the settings, tries every door, and prints what it found.
``local``  a data folder for trying the service on one's own machine.
``demo``   the whole service, seen from end to end with real sample applications.
"""
