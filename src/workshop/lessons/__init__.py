"""How a lesson is described: `src/workshop/lessons/NN-slug.toml`, written by the author of the notebook.

    title = "Write an echo server"
    teach = 15                     # minutes of reading
    do = 25                        # minutes of doing
    needs = "lesson 0"             # printed by lesson(n)
    redis = true                   # lesson(n) checks that there is a Redis server
    can = ["write an echo server", "..."]      # 3-4 verbs: objectives at the top, key points of recap()
    proof = [["1.1"], ["1.2", "1.3"]]          # for each objective the tasks that prove it; [] or none: all tasks
    parity = ["gateway.timeout-1006"]          # rows of fclocal's parity table; parity() shows three, folds the rest
    [predictions."1.a"]
    answer = "b"
    why = "One or two sentences, printed by predict('1.a') after the run."
    why_not.a = "One sentence for each of the other two choices."
    why_not.c = "..."

In the notebook: `predict("1.a")` before the run, with buttons a, b and c, and again after it: then it shows the
answer and the reasons, if a choice was made. In a terminal a choice is `predict("1.a", "b")`.
"""
