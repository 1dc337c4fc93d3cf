-- Delete rows. Asked: places: a limit's number, a key, when the row begins.

local count = 0
for _, place in ipairs(asked[8]) do
  local number, key, starts = place[1], place[2], place[3]
  local index = base .. ':x:' .. number .. ':' .. key
  count = count + call('DEL', base .. ':r:' .. number .. ':' .. starts .. ':' .. key)
  call('ZREM', index, starts)
  call('DEL', base .. ':w:' .. number .. ':' .. key)  -- it is added up anew
  if call('ZCARD', index) == 0 then call('ZREM', base .. ':k:' .. number, key) end
end
return answer({ count })
