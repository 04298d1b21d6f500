"""The shell around the core: opens devices, feeds the line, records, fires outlets."""
