"""Tables and arrays → matplotlib figures. No files are read here, and no statistic is computed."""
