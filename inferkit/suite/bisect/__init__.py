"""The first commit that made a case worse: a search through commits, each step measured against the good one."""
