-- The limits of an application, or all: those that are, and those that were.
-- Asked: from which number (of all; 0: of the application), how many numbers.

local numbers = {}
if asked[8] == 0 then
  for _, number in ipairs(call('SMEMBERS', base .. ':n:' .. asked[4])) do numbers[#numbers + 1] = tonumber(number) end
else
  local last = tonumber(call('HGET', base, 'numbers') or 0)
  for number = asked[8], math.min(last, asked[8] + asked[9] - 1) do numbers[#numbers + 1] = number end
end
table.sort(numbers)
local found = {}
for _, number in ipairs(numbers) do
  local told = call('HMGET', base .. ':l:' .. number, 'definition', 'gone', 'limit_id', 'turns')
  if told[1] then
    found[#found + 1] = { number, told[1], tonumber(told[2] or 0), told[3], cmsgpack.unpack(told[4] or '\144') }
  end
end
return answer({ tonumber(version), found })
