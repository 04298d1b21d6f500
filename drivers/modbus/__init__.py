"""The line's PLC over Modbus: the register map, its client, and a PLC that is emulated."""
