-- Rows end at another time: their limit's window is a new one, which began when the old one did.
-- Asked: places (a limit's number, a key, when the row begins), when they end.

for _, place in ipairs(asked[8]) do
  local number, key, starts = place[1], place[2], place[3]
  local row = row_at(number, starts, key)
  if row then
    put(row, 'ends', asked[9])
    call('ZADD', base .. ':x:' .. number .. ':' .. key, asked[9], starts)
  end
end
write_rows()
return answer({})
