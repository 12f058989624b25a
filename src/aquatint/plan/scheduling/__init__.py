"""In which order tasks run, and what is loaded, evicted and brought back for them, under a budget of memory.

Nothing here knows steps or components: `schedule` makes tasks and items of them.
"""
