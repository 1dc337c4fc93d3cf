-- Delete some of what accounts of a limit had come to when they were reset: of the first of the list, which are then its last.
-- Asked: number, how many are looked at, the key of those (false: any), by when they were (0: any).
-- Answered: how many were deleted, and how many are left.

local name, most = base .. ':p:' .. asked[8], asked[9]
local looked, count = call('LRANGE', name, 0, most - 1), 0
call('LTRIM', name, #looked, -1)
for _, packed in ipairs(looked) do
  local past = cmsgpack.unpack(packed)
  if (asked[10] == false or past[1] == asked[10]) and (asked[11] == 0 or past[3] <= asked[11]) then
    count = count + 1
  else
    call('RPUSH', name, packed)
  end
end
return answer({ count, call('LLEN', name) })
