"""The tour: the whole story on one machine, a chapter per file, ending in a report page."""
