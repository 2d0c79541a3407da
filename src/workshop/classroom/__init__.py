"""The class board: learners who have joined report their verdicts (`member`), an instructor opens it (`board`)."""
