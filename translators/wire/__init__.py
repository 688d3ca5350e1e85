"""The two wires as typed structs, one module a protocol; each keeps its own protocol's names."""
