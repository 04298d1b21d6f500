"""What a run came to, for people: one page to read or print, its charts, and all that was seen of one fruit."""
