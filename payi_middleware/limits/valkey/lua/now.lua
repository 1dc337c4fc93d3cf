-- What time it is.

return answer({})
