-- The ids of limits, by number. Asked: numbers.

local found = {}
for i, number in ipairs(asked[8]) do found[i] = call('HGET', base .. ':l:' .. number, 'limit_id') or '' end
return answer(found)
