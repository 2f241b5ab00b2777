"""The shapes in which sources tell of events, each read into the domain's own words."""
