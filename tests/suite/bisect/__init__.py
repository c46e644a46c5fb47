"""The search for the first commit that made a case worse."""
