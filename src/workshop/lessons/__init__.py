"""How a lesson is described: `src/workshop/lessons/NN-slug.toml`, owned by whoever writes the notebook.

    title = "Write an echo server"
    teach = 15                     # minutes of reading
    do = 25                        # minutes of doing
    needs = "lesson 0"             # said by lesson(n)
    can = ["write an echo server", "..."]      # 3-4 verbs: objectives at the top, key points of recap()
    parity = ["gateway.timeout-1006"]          # rows of fclocal's parity table, printed by parity()
    [predictions."1.a"]
    answer = "b"
    why = "One or two sentences, printed by predict('1.a') after the run."
    why_not.a = "One sentence for each of the other two choices."
    why_not.c = "..."

In the notebook: `predict("1.a", "?")` before the run (the learner types a, b or c), `predict("1.a")` after it.
"""
