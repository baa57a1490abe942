"""Writes the reference values of the tests beside it: python3 reference.py, with numpy and scipy (1.17.1 when last run).

Wilcoxon with ties or few pairs is counted over all signs; BCa limits are at the level that small samples ask for."""
import pathlib
import numpy as np
import scipy
from scipy import stats
print(scipy.__version__)
d = str(pathlib.Path(__file__).parent) + "/"
with open(d+'scipy_distributions.in','w') as f:
    f.write('[\n')
    for z in (-6,-3.3,-1,-0.2,0,0.7,1.96,4): f.write(f'    (normal_cdf({z:.2f}), {float(stats.norm.cdf(z))!r}),\n')
    for p in (1e-10,0.001,0.02,0.025,0.3,0.5,0.9,0.975,0.999999): f.write(f'    (normal_quantile({p!r}), {float(stats.norm.ppf(p))!r}),\n')
    for t,n in ((-3,1),(-1,2),(0.5,5),(2.045,29),(10,9),(1.3,200)): f.write(f'    (student_cdf({float(t)!r}, {float(n)!r}), {float(stats.t.cdf(t,n))!r}),\n')
    for p,n in ((0.975,1),(0.975,9),(0.975,29),(0.9,4),(0.025,99),(0.995,3)): f.write(f'    (student_quantile({p!r}, {float(n)!r}), {float(stats.t.ppf(p,n))!r}),\n')
    f.write(']\n')
rng=np.random.default_rng(5)
def exact(d):
    d=[x for x in d if x!=0]; r=stats.rankdata(np.abs(d)); pos=sum(r[i] for i in range(len(d)) if d[i]>0)
    if len(d)<=18:
        import itertools
        tot=r.sum(); m=min(pos,tot-pos); c=0
        # all signs
        sums=np.zeros(1)
        for x in r: sums=np.concatenate([sums,sums+x])
        return float(pos), min(1.0,float(2*np.mean(sums<=m+1e-9)))
    return float(pos), float(stats.wilcoxon(d,method='exact').pvalue)
cases=[]
cases.append([1.5,2.5,-0.5,3.0,4.0,5.5,-6.0,7.0,8.0,9.25])
cases.append([1.0,1.0,-1.0,2.0,2.0,3.0,-3.0,3.0,0.0,0.0,4.0,5.0])
cases.append([round(float(x),5) for x in rng.normal(0.4,1,30)])
cases.append([round(float(x),5) for x in rng.normal(0.0,1,50)])
cases.append([0.5]*12)
with open(d+'scipy_wilcoxon.in','w') as f:
    f.write('vec![\n')
    for c in cases:
        s,p=exact(c); f.write(f'    (vec!{[float(x) for x in c]}, {s!r}, {p!r}),\n')
    f.write(']\n')
cs=[[round(float(x),3) for x in rng.normal(1,1,10)],[round(float(x),3) for x in rng.lognormal(0,0.7,30)],[round(float(x),2) for x in rng.normal(-3,2,30)]]
with open(d+'scipy_bca.in','w') as f:
    f.write('vec![\n')
    for c in cs:
        n=len(c); z=np.sqrt(n/(n-1))*stats.t.ppf(0.975,n-1); lvl=1-2*stats.norm.cdf(-z)
        r=stats.bootstrap((np.array(c),),np.mean,confidence_level=lvl,n_resamples=200000,method='BCa',rng=1,batch=20000).confidence_interval
        f.write(f'    (vec!{c}, {float(r.low)!r}, {float(r.high)!r}),\n')
    f.write(']\n')
