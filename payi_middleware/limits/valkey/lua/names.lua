-- The ids of data that was lost before this.

return answer(call('SMEMBERS', base .. ':was'))
