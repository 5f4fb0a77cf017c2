"""Many renders from a table: on one device, on several, or on a Ray cluster."""
