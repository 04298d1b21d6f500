"""Everything that touches a device, or pretends to be one."""
