"""The commands: inferkit and the two tools of the study, one file for each."""
