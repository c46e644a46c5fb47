"""The suite: cases from one table, measured as a campaign, judged, and handed to pytest and pytest-benchmark."""
