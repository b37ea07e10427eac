"""Reports: what they say (`content`), how they print (`pdf`), who signs (`keys`, `signing`), what holds (`verify`)."""
