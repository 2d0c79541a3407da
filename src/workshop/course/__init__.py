"""What frames a lesson: lesson(), predict(), show(), recap(), progress().

The package has the name `course` because `workshop.lesson` is the function that a notebook imports.
"""
